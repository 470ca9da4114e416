"""The queue adapter: RabbitMQ between nodes, and towards consumers. With one node the dispatcher is the bell."""
