import bnlab as bn

with bn.Network("mixture") as net:
    lam = bn.parameter("lambda", bn.Real())
    scale = bn.parameter("jnp", bn.Positive())
    with bn.plate("n"):
        x = bn.observed("x_", bn.Normal(lam, var=scale))
