import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3))
    with bn.plate("k", 4):
        mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        x = bn.observed("x", bn.Normal(mu[z], var=1.0))
