import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("k", 2):
        mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu[2], var=1.0))
