import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3), prior=bn.Categorical([0.2, 0.3, 0.5]))
    rho = bn.parameter("rho", bn.Simplex(3), prior=2.0)
    with bn.plate("n"):
        z = bn.observed("z", bn.Categorical(pi))
        w = bn.observed("w", bn.Categorical(rho))
