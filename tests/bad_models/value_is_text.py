import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2), value="uniform")
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical(pi))
