import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(0))
    mu = bn.parameter("mu", bn.Real(2.5))
    rho = bn.parameter("rho", bn.Simplex(["yes", "yes"]))
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        w = bn.latent("w", bn.Categorical(rho))
        x = bn.observed("x", bn.Normal(mu, var=1.0))
