import bnlab as bn

with bn.Network("regression") as net:
    mu = bn.parameter("mu", bn.Real())
    with bn.plate("n"):
        s = bn.given("s", bn.Real())
        x = bn.observed("x", bn.Normal(mu, std=s))
