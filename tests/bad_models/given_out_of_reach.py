import bnlab as bn

with bn.Network("regression") as net:
    w = bn.parameter("w", bn.Real())
    with bn.plate("n"):
        u = bn.given("u", bn.Real())
    with bn.plate("m"):
        y = bn.latent("y", bn.Normal(w * u, var=1.0))
