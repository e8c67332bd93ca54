import bnlab as bn

with bn.Network("factors") as net:
    W = bn.parameter("W", bn.Real(5, 2))
    b = bn.parameter("b", bn.Real(2))
    with bn.plate("n"):
        x = bn.observed("x", bn.Normal(W @ b, var=1.0))
