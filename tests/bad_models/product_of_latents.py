import bnlab as bn

with bn.Network("factors") as net:
    with bn.plate("n"):
        a = bn.latent("a", bn.Normal(0.0, var=1.0))
        b = bn.latent("b", bn.Normal(0.0, var=1.0))
        x = bn.observed("x", bn.Normal(a * b, var=1.0))
