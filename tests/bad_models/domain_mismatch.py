import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter("mu", bn.Real(2))
    Sigma = bn.parameter("Sigma", bn.Covariance(2))
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(mu))
        x = bn.observed("x", bn.Normal(mu, std=Sigma))
