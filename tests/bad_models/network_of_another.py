import bnlab as bn

with bn.Network("one") as one:
    mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, var=1.0))

with bn.Network("two") as two:
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, var=1.0))
