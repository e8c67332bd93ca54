import bnlab as bn

with bn.Network("scale") as net:
    a = bn.parameter("a", bn.Positive())
    b = bn.parameter("b", bn.Positive())
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(0.0, var=a + b))
