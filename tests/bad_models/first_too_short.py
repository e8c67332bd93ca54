import bnlab as bn

with bn.Network("chain") as net:
    pi = bn.parameter("pi", bn.Simplex(2))
    with bn.plate("j", 2), bn.plate("k", 2):
        A = bn.parameter("A", bn.Simplex(2))
    with bn.chain("t"):
        z = bn.latent("z", bn.Categorical(A[bn.previous("z", 2), bn.previous("z")]), first=bn.Categorical(pi))
