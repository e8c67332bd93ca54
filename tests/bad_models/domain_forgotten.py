import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter("mu", bn.Real)
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, var=1.0))
