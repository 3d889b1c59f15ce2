/** What the papers say of each kind of row, and where its code is. */

/** @typedef {{ where: string, words: string, quote?: string, code: string }} Passage */

const LAYERS = "alexnet/nets/layers.py";
const KERNELS = "alexnet/kernels/reference.py";

/** @type {Record<string, Passage>} */
const PASSAGES = {
  first: {
    where: "[A] §2 and §3.5",
    words:
      "The first layer reads the pixels themselves: 0 to 255, less the mean of the training pictures. " +
      "In [A] it has 96 kernels of 11 × 11 × 3, four pixels apart.",
    quote: "… we trained our network on the (centered) raw RGB values of the pixels.",
    code: LAYERS,
  },
  Conv: {
    where: "[A] §3.5",
    words:
      "A unit reads a small window of the maps below, and all units of a map share one kernel. " +
      "So a map finds the same pattern wherever it is in the picture.",
    code: LAYERS,
  },
  columns: {
    where: "[A] §3.2 and §3.5",
    words: "The maps are spread over two GPUs, the columns, to fit into their memory.",
    quote:
      "The kernels of the second, fourth, and fifth convolutional layers are connected only to those kernel maps " +
      "in the previous layer which reside on the same GPU.",
    code: LAYERS,
  },
  Local: {
    where: "the 2012 code (cuda-convnet)",
    words: "Like a convolution, but every position has weights of its own. [A] has no such layer.",
    code: LAYERS,
  },
  Dense: {
    where: "[A] §3.5",
    words: "These layers hold most of the weights: 58.6 of 61 million in [A].",
    quote: "The neurons in the fully-connected layers are connected to all neurons in the previous layer.",
    code: LAYERS,
  },
  relu: {
    where: "[A] §3.1",
    words: "f(x) = max(0, x): what is negative becomes 0, what is positive stays.",
    quote:
      "Deep convolutional neural networks with ReLUs train several times faster than their equivalents with tanh " +
      "units.",
    code: LAYERS,
  },
  tanh: {
    where: "[A] §3.1",
    words: "The older non-linearity. [A] found that a network with ReLUs learns about six times as fast.",
    code: LAYERS,
  },
  Norm: {
    where: "[A] §3.3",
    words:
      "Each value is divided by a power of its neighbours' squares, those of a few maps at the same position. " +
      "It lowered the top-1 error of [A] by 1.4 points.",
    quote:
      "This sort of response normalization implements a form of lateral inhibition …, creating competition for big " +
      "activities amongst neuron outputs computed using different kernels.",
    code: KERNELS,
  },
  SpatialNorm: {
    where: "the 2012 code (rnorm)",
    words:
      "Like the response norm, but over a window of the same map. The network that gave [A]'s numbers had one.",
    code: KERNELS,
  },
  max: {
    where: "[A] §3.4",
    words:
      "The output is the largest value of a window. Where it stood is the switch, which the deconvnet " +
      "of [Z] §2.1 needs. " +
      "In [A] the windows are 3 wide and 2 apart, so they overlap.",
    quote: "If we set s < z, we obtain overlapping pooling.",
    code: KERNELS,
  },
  average: {
    where: "the 2012 code (cuda-convnet)",
    words: "The output is the mean of a window. [A] itself takes the maximum.",
    code: LAYERS,
  },
  BatchNorm: {
    where: "Ioffe and Szegedy 2015",
    words:
      "Three years after [A]: a map's values are centred and scaled by its mean and variance over the training " +
      "pictures, then by a learned scale and shift. Response norms are rarely seen since.",
    code: LAYERS,
  },
  Dropout: {
    where: "[A] §4.2",
    words: "In training half of these units are switched off by chance, others for every picture.",
    quote: "At test time, we use all the neurons but multiply their outputs by 0.5 …",
    code: "alexnet/nets/dropout.py",
  },
  softmax: {
    where: "[A] §3.5",
    words: "The logits become probabilities, positive and adding up to 1.",
    quote:
      "The output of the last fully-connected layer is fed to a 1000-way softmax which produces a distribution over " +
      "the 1000 class labels.",
    code: "alexnet/nets/network.py",
  },
};

/** @param {string} key @returns {Passage|undefined} */
export const passage = (key) => PASSAGES[key];
