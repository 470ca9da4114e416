<?php

// Promises: an app's handler that notes each delivery on a line.
// Leans on: SINK_FILE.
// Must never: answer anything but 200.

declare(strict_types=1);


$line = json_encode(['event_id' => $_SERVER['HTTP_X_RELAY_EVENT_ID'] ?? '', 'body' => $_POST], JSON_INVALID_UTF8_SUBSTITUTE);
file_put_contents((string)getenv('SINK_FILE'), $line . "\n", FILE_APPEND | LOCK_EX);
echo 'ok';
