import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(3))
    with bn.plate("k", 3):
        mu = bn.parameter("mu", bn.Real(2))
        Sigma = bn.parameter(
            "Sigma",
            bn.Covariance(2),
            prior=bn.Dirichlet(
                2.0,
            ),
        )
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        é = "é"; x = bn.observed("x", bn.Normal(  # fmt: skip
            mu,
            cov=Sigma[
                z
            ],
        ))
