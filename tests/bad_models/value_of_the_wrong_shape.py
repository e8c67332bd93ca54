import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.plate("k", 2):
        mu = bn.parameter("mu", bn.Real(3), value=[0.0, 0.0, 0.0])
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        x = bn.observed("x", bn.Normal(mu[z], var=1.0))
