import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("k", 0):
        mu = bn.parameter("mu", bn.Real())
    with bn.plate("j", "two"):
        sigma2 = bn.parameter("sigma2", bn.Positive())
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu[0], var=1.0))
