"""The stacked recurrent network of the document, forward and backward, by hand.

One alphabet, used in every file of this folder:

    n  sequences side by side (batch)      d   width of the input (symbols)
    T  time steps                          h_l hidden units of layer l
    L  recurrent layers                    a   width of the output (symbols)

    X_t (n, d)    input, one-hot; in practice its ids (n,)
    Z_t (n, h)    X_t W_x + b                   R_t (n, h)   H_{t-1} W_hh
    S_t (n, h)    state; H_t, its first part    K_t (n, h)   derivatives of a step
    A_t (n, a)    softmax of the last layer     dQ           ∂L/∂Q, with Q's shape

A cell with gates has several Z_t and R_t, one for each gate: (gates, n, h). So have S_t, if it holds more than H_t, and
K_t. Vectors are rows, as in the document: H_t = φ(X_t W_xh + H_{t-1} W_hh + b), dW = Xᵀ dZ, dX = dZ Wᵀ.
A layer's states have T+1 steps: the first came in, all but the last are the S_{t-1}, all but the first the S_t.

Where to read: cells/rnn.py (a step), layer.py (the loop over time), stack.py (layer upon layer), backward.py and
truncation.py (how errors go back). products.py, one_hot.py and buffers.py are there for speed.
"""
