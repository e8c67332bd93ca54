import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("n"):
        mu = bn.parameter("mu", bn.Real())
        x = bn.observed("x", bn.Normal(mu, var=1.0))
