import bnlab as bn

with bn.Network("mixture") as net:
    with bn.plate("k", 2):
        mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        y = bn.latent("y", bn.Normal(0.0, var=1.0))
        x = bn.observed("x", bn.Normal(mu[y], var=1.0))
