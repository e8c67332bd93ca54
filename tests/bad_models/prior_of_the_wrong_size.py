import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3), prior=bn.Dirichlet([1.0, 1.0]))
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical(pi))
