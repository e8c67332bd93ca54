import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3))
    with bn.plate("k", 3):
        mu = bn.parameter("mu", bn.Real())
    sigma2 = bn.parameter("sigma2", bn.Positive())
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        x = bn.observed("x", bn.Normal(mu[z], var=sigma2[z]))
