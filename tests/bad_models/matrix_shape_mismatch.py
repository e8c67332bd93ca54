import bnlab as bn

with bn.Network("factors") as net:
    W = bn.parameter("W", bn.Real(5, 2))
    b = bn.parameter("b", bn.Real(5))
    with bn.plate("n"):
        y = bn.latent("y", bn.Normal(bn.zeros(3), cov=bn.eye(3)))
        x = bn.observed("x", bn.Normal(W @ y + b, var=1.0))
