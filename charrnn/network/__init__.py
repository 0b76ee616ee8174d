"""The stacked recurrent network of the document, forward and backward, by hand.

One alphabet, used in every file of this folder:

    n  sequences side by side (batch)      d   width of the input (symbols)
    T  time steps                          h_l hidden units of layer l
    L  recurrent layers                    a   width of the output (symbols)

    X_t (n, d)    input, one-hot; in practice its ids (n,)
    Z_t (n, h)    input of φ                    H_t (n, h)   hidden state, φ(Z_t)
    A_t (n, a)    softmax of the last layer     dQ           ∂L/∂Q, with Q's shape

Vectors are rows, as in the document: H_t = φ(X_t W_xh + H_{t-1} W_hh + b), dW = Xᵀ dZ, dX = dZ Wᵀ.
A layer's H has T+1 slices: H[0] is the state that came in, H[:-1] are the H_{t-1}, H[1:] are the H_t.

Sequences have the shape (T, n, h) everywhere, and lie so in memory: all steps under each other are a (T·n, h) matrix.
"""
