// What an app does with clients/kotlin, step by step: java ClientKt BROKER CLOUD CLOSED. One JSON line per step; the expected
// results are in tests/sdks/client.rs.

import cosbroker.Broker
import cosbroker.BrokerException
import java.net.HttpURLConnection
import java.net.URL
import java.util.concurrent.Callable
import java.util.concurrent.Executors
import java.util.concurrent.atomic.AtomicInteger
import org.json.JSONObject

/** What an SDK throws when COS refuses an expired key. */
class ExpiredKey : Exception()

class App(broker: String, cloud: String, user: String = "alice", template: String = "files", token: String? = null) {
    val requests = AtomicInteger()
    private val login = token ?: send("$cloud/token?sub=$user", "GET")
    val client = Broker(broker, template) { requests.incrementAndGet(); login }

    fun outcome(): String = try {
        client.key().prefix
    } catch (error: BrokerException) {
        val seconds = if (error is BrokerException.RetryLater && error.seconds > 0) "with seconds" else null
        val id = error.requestId?.let { "with a request id" }
        listOfNotNull(error.javaClass.simpleName, error.status, error.problem, seconds, id).joinToString(" ")
    }
}

fun send(url: String, method: String, body: String? = null): String {
    val connection = URL(url).openConnection() as HttpURLConnection
    connection.requestMethod = method
    body?.let {
        connection.doOutput = true
        connection.outputStream.use { stream -> stream.write(it.toByteArray()) }
    }
    return connection.inputStream.bufferedReader().use { it.readText() }
}

fun <T> inParallel(count: Int, work: () -> T): List<T> {
    val threads = Executors.newFixedThreadPool(count)
    try {
        return threads.invokeAll(List(count) { Callable { work() } }).map { it.get() }
    } finally {
        threads.shutdown()
    }
}

fun main(arguments: Array<String>) {
    val (broker, cloud, closed) = arguments
    fun step(name: String, seen: String) = println(JSONObject().put("step", name).put("seen", seen))

    val app = App(broker, cloud)
    val keys = inParallel(100) { app.client.key() }.toSet()
    step("100 threads", "${keys.size} key, ${app.requests} request")

    val refused = keys.first()
    val served = inParallel(100) {
        app.client.run({ it is ExpiredKey }) { key -> if (key === refused) throw ExpiredKey() else key.prefix }
    }
    step("COS says that the key has expired", "${served.toSet().single()}, ${app.requests} requests")

    step("an expired login", App(broker, cloud, token = "no.such.token").outcome())
    step("a template that does not exist", App(broker, cloud, template = "nothing").outcome())
    step("nothing listens", App(closed, cloud).outcome())
    step("something else answers", App("$cloud/jwks.json?", cloud).outcome())

    send("$cloud/faults", "POST", """{"on": "sts", "fault": "error"}""")
    val other = App(broker, cloud, user = "dave")
    step("STS fails", "${other.outcome()}; ${other.outcome()}; ${other.requests} request")
}
