import bnlab as bn

with bn.Network("walk") as net:
    A = bn.parameter("A", bn.Simplex(2))
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.chain("t"):
        state = bn.latent("state", bn.Categorical(A[bn.previous("staet")]), first=bn.Categorical(pi))
