"""Parts of a model that TensorFlow has faster forms of than Keras composes.

Keras' optimizers are written in operations on whole arrays, each of which reads and writes memory
as large as the weights; TensorFlow's own kernels read and write each number once. On two CPU cores
that is 11 per cent of a step of the MNIST network (3 million weights, Adam) and 3 per cent of one
of VGG-16.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


class FusedAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam (Kingma and Ba 2015, arXiv 1412.6980), with the same state and formula as Keras'."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its two moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=learning_rate,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=gradient,
        )


class FusedSGD(keras.optimizers.SGD):  # type: ignore[misc]
    """Gradient descent, with the same state and formula as Keras': momentum, not Nesterov's."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Update one variable and its momentum."""
        tf.raw_ops.ResourceApplyKerasMomentum(
            var=_handle(variable),
            accum=_handle(self.momentums[self._get_variable_index(variable)]),
            lr=learning_rate,
            grad=gradient,
            momentum=self.momentum,
        )


class SeparateBiasConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A convolution whose bias has its gradient computed before that of the kernel, and apart.

    Next to each other, TensorFlow merges the two into one call of oneDNN, which in float32 takes
    longer than both: with it, VGG-16 lost 5 per cent on two CPU cores, and LeNet 9. In bfloat16
    the merged call is the faster one.
    """

    def call(self, inputs: Any) -> Any:
        """Return the activation of the convolution [batch, height, width, filters]."""
        return self.activation(_add_bias(self.convolution_op(inputs, self.kernel), self.bias))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _add_bias(images: Any, bias: Any) -> Any:
    def gradients(upstream: Any) -> tuple[Any, Any]:
        of_bias = tf.raw_ops.BiasAddGrad(out_backprop=upstream)
        with tf.control_dependencies([of_bias]):
            return tf.identity(upstream), of_bias

    return tf.nn.bias_add(images, bias), gradients


def _handle(variable: Any) -> Any:
    """Return the resource of a variable: Keras', TensorFlow's, or this replica's of a mirrored."""
    inner = variable.value if isinstance(variable, keras.Variable) else variable
    return inner.handle
