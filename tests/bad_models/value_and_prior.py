import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2), prior=bn.Dirichlet(2.0), value=[0.5, 0.5])
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical(pi))
