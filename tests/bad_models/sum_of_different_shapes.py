import bnlab as bn

with bn.Network("factors") as net:
    W = bn.parameter("W", bn.Real(5, 2))
    b = bn.parameter("b", bn.Real(4))
    with bn.plate("n"):
        y = bn.latent("y", bn.Normal(bn.zeros(2), cov=bn.eye(2)))
        x = bn.observed("x", bn.Normal(W @ y + b, var=1.0))
