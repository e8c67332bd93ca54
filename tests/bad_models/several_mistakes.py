import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3), value=[1.0, 1.0, 1.0])
    with bn.plate("k", 2):
        mu = bn.parameter("mu", bn.Real(2))
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        x = bn.observed("x", bn.Normal(mu[z], cov=bn.eye(3)))
        y = bn.observed("y", bn.Normal(mu))
