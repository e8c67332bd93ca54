import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter("mu", bn.Real(2))
    Sigma = bn.parameter("Sigma", bn.Covariance(3))
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, cov=Sigma))
