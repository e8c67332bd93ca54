import bnlab as bn

with bn.Network("factors") as net:
    F = bn.parameter("F", bn.Real(2, 2))
    G = bn.parameter("G", bn.Real(2, 2))
    with bn.plate("n"):
        y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
        x = bn.observed("x", bn.Normal(F @ (G @ y), var=1.0))
