"""The program of "TensorFlow MNIST Dataset and Softmax Regression", running again.

Read it beside the page: https://data-flair.training/blogs/tensorflow-mnist-dataset/
To experiment, edit the seed (0), the rate (0.5), the steps (1000), the batch (100).
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # added: a shorter log


# === What is TensorFlow MNIST Dataset? ===

# The page: from tensorflow.examples.tutorials.mnist import input_data
# TensorFlow has removed that module. data.py, beside this file, takes its place.
import data as input_data

# The page: mnist = input_data.read_data_sets("MNIST_data/", one_hot=True)
# Added: the seed fixes the order of the images, so that each run prints the same.
mnist = input_data.read_data_sets("MNIST_data/", one_hot=True, seed=0)


# === Implementation of MNIST Dataset in TensorFlow ===

# The page: import tensorflow as tf
# TensorFlow 2 keeps TensorFlow 1 as compat.v1.
import tensorflow.compat.v1 as tf

# Added: no eager execution. The next lines only build a graph; `sess.run` computes it.
tf.disable_eager_execution()
# Added: in a notebook, a second run would otherwise add to the graph of the first.
tf.reset_default_graph()

x = tf.placeholder(tf.float32, [None, 784])

# Zeros will do. (The hidden layer in README.md needs weights that begin at random.)
W = tf.Variable(tf.zeros([784, 10]))
b = tf.Variable(tf.zeros([10]))


# === TensorFlow MNIST - Training ===

# The page: y = tf.nn.softmax(tf.matmul(x, W) + b)
# Here this is two lines: the cross-entropy needs the logits (on the page: evidence).
logits = tf.matmul(x, W) + b
y = tf.nn.softmax(logits)

y_ = tf.placeholder(tf.float32, [None, 10])

# The page:
# cross_entropy = tf.reduce_mean(-tf.reduce_sum(y_ * tf.log(y), reduction_indices=[1]))
# That is NaN or infinite when float32 rounds a small probability in y to 0. From the
# logits, the same is computed without log(0). (The name without _v2 is deprecated.)
cross_entropy = tf.reduce_mean(
    tf.nn.softmax_cross_entropy_with_logits_v2(labels=y_, logits=logits)
)

train_step = tf.train.GradientDescentOptimizer(0.5).minimize(cross_entropy)

sess = tf.InteractiveSession()

# The page says "the variables are initialized by", but shows no line for it.
tf.global_variables_initializer().run()

# The page: for _ in range(1000):
# Here `step` counts, to print the cross-entropy of mnist.validation every 100 steps.
for step in range(1000):
    if step % 100 == 0:
        validation = {x: mnist.validation.images, y_: mnist.validation.labels}
        loss = sess.run(cross_entropy, feed_dict=validation)
        print(f"step {step:3}  validation cross-entropy {loss:.4f}")
    batch_xs, batch_ys = mnist.train.next_batch(100)
    sess.run(train_step, feed_dict={x: batch_xs, y_: batch_ys})


# === Checking Accuracy With Test Dataset ===

# Axis 1 runs over the ten digits: `argmax` returns the digit with the largest value.
correct_prediction = tf.equal(tf.argmax(y, 1), tf.argmax(y_, 1))

accuracy = tf.reduce_mean(tf.cast(correct_prediction, tf.float32))

print("test accuracy: ", end="")  # added: what the number is
print(sess.run(accuracy, feed_dict={x: mnist.test.images, y_: mnist.test.labels}))
