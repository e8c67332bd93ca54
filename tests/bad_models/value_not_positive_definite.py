import bnlab as bn

with bn.Network("mixture") as net:
    Sigma = bn.parameter("Sigma", bn.Covariance(2), value=[[1.0, 2.0], [2.0, 1.0]])
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(bn.zeros(2), cov=Sigma))
