import bnlab as bn

with bn.Network("mixture") as net:
    m = bn.parameter("m", bn.Real())
    mu = bn.parameter("mu", bn.Real(), prior=bn.Normal(m, std=10.0))
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(mu, var=1.0))
