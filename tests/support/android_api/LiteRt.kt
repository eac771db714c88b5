package com.google.ai.edge.litert

import android.content.res.AssetManager

enum class Accelerator { NONE, CPU, GPU, NPU }

class Environment private constructor()

class TensorBuffer internal constructor() : AutoCloseable {
    fun writeFloat(data: FloatArray): Unit = TODO("$data")
    fun writeInt8(data: ByteArray): Unit = TODO("$data")
    fun readFloat(): FloatArray = TODO()
    fun readInt8(): ByteArray = TODO()
    fun readInt(): IntArray = TODO()
    override fun close() {}
}

class CompiledModel private constructor() : AutoCloseable {
    class Options(vararg val accelerators: Accelerator)

    fun createInputBuffers(): List<TensorBuffer> = TODO()
    fun createOutputBuffers(): List<TensorBuffer> = TODO()
    fun run(inputs: List<TensorBuffer>, outputs: List<TensorBuffer>): Unit = TODO("$inputs $outputs")
    override fun close() {}

    companion object {
        fun create(assets: AssetManager, name: String, options: Options, environment: Environment? = null): CompiledModel =
            TODO("$assets $name $options $environment")
    }
}
