import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        y = bn.latent("x", bn.Normal(mu, var=1.0))
        x = bn.observed("x", bn.Normal(mu, var=1.0))
