import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.plate("k", 2):
        mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        state = bn.latent("state", bn.Categorical(pi))
        x = bn.observed("x", bn.Normal(mu["sttae"], var=1.0))
