import bnlab as bn

with bn.Network("mixture") as net:
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.plate("n"):
        z = bn.latent("z", bn.Categorical(pi), first=bn.Categorical(pi))
