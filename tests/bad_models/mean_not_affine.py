import bnlab as bn

with bn.Network("factors") as net:
    with bn.plate("n"):
        y = bn.latent("y", bn.Normal(0.0, var=1.0))
        x = bn.observed("x", bn.Normal(y**2, var=1.0))
        w = bn.observed("w", bn.Normal(y / 2, var=1.0))
