import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3), value=[0.2, 0.3, 0.4])
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical(pi))
