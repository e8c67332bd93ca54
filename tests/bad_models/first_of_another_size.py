import bnlab as bn

with bn.Network("chain") as net:
    pi = bn.parameter("pi", bn.Simplex(3))
    with bn.plate("k", 2):
        A = bn.parameter("A", bn.Simplex(2))
    with bn.chain("t"):
        z = bn.latent("z", bn.Categorical(A[bn.previous("z")]), first=bn.Categorical(pi))
