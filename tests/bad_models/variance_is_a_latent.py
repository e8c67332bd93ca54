import bnlab as bn

with bn.Network("scale") as net:
    with bn.plate("n"):
        v = bn.latent("v", bn.Normal(0.0, var=1.0))
        x = bn.observed("x", bn.Normal(0.0, var=v))
