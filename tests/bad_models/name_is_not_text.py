import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter(bn.Real(), "mu")
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, var=1.0))
