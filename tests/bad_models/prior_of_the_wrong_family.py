import bnlab as bn

with bn.Network("mixture") as net:
    mu = bn.parameter("mu", bn.Real(2), prior=bn.Normal(bn.zeros(2), std=10.0))
    Sigma = bn.parameter("Sigma", bn.Covariance(2), prior=bn.Normal(0.0, std=1.0))
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, cov=Sigma))
