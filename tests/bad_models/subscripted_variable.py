import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi))
        y = bn.latent("y", bn.Normal(0.0, var=1.0))
        x = bn.observed("x", bn.Normal(y[z], var=1.0))
