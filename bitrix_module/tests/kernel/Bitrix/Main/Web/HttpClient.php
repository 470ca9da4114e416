<?php

// Promises: the socket client: whole-second time-outs, a time-out per read, no keep-alive, no Host port.
// Leans on: PHP streams and OnHttpClientBuildRequest.
// Must never: throw a network failure past query().

declare(strict_types=1);


namespace Bitrix\Main\Web;

use Bitrix\Main\Web\Http\NetworkException;
use Bitrix\Main\Web\Http\Request;
use Bitrix\Main\Web\Http\RequestEvent;
use Bitrix\Main\Web\Http\Stream;
use Psr\Http\Client\ClientExceptionInterface;
use Psr\Http\Client\NetworkExceptionInterface;

class HttpClient
{
    protected int $socketTimeout = 30;
    protected int $streamTimeout = 60;
    protected bool $redirect = true;
    protected int $bodyLengthMax = 0;
    /** @var array<string, mixed> */
    protected array $contextOptions = [];
    /** @var array<string, string> */
    protected array $headers = [];
    /** @var array<string, string> */
    protected array $error = [];
    protected int $status = 0;
    protected string $result = '';

    /** @param array<string, mixed>|null $options contextOptions among them does nothing, as in the kernel */
    public function __construct(?array $options = null)
    {
        $this->setTimeout($options['socketTimeout'] ?? $this->socketTimeout);
        $this->setStreamTimeout($options['streamTimeout'] ?? $this->streamTimeout);
        $this->redirect = $options['redirect'] ?? true;
        $this->bodyLengthMax = (int)($options['bodyLengthMax'] ?? 0);
    }

    public function setTimeout($value)
    {
        $this->socketTimeout = intval($value);
        return $this;
    }

    public function setStreamTimeout($value)
    {
        $this->streamTimeout = intval($value);
        return $this;
    }

    public function setContextOptions(array $options)
    {
        $this->contextOptions = array_replace_recursive($this->contextOptions, $options);
        return $this;
    }

    public function setHeader($name, $value, $replace = true)
    {
        $this->headers[$name] = (string)$value;
        return $this;
    }

    public function post($url, $postData = null, $multipart = false)
    {
        return $this->query('POST', $url, $postData) ? $this->getResult() : false;
    }

    public function get($url)
    {
        return $this->query('GET', $url) ? $this->getResult() : false;
    }

    public function query($method, $url, $entityBody = null)
    {
        [$this->error, $this->status, $this->result] = [[], 0, ''];
        $headers = $this->headers;
        if (is_array($entityBody)) {
            $entityBody = http_build_query($entityBody);
            $headers['Content-Type'] ??= 'application/x-www-form-urlencoded';
        }
        $body = new Stream('php://temp', 'r+');
        $body->write((string)$entityBody);
        $body->rewind();
        try {
            $this->send($this->announce(new Request($method, new Uri($url), $headers, $body)));
            return true;
        } catch (ClientExceptionInterface $failure) {
            if ($failure instanceof NetworkExceptionInterface) {
                $this->error['NETWORK'] = $failure->getMessage();
            }
            return false;
        }
    }

    public function getResult()
    {
        return $this->result;
    }

    public function getStatus()
    {
        return $this->status;
    }

    public function getError()
    {
        return $this->error;
    }

    private function announce(Request $request): Request
    {
        $event = new RequestEvent($this, $request, 'OnHttpClientBuildRequest');
        $event->send();
        foreach ($event->getResults() as $result) {
            $request = $result->getRequest();
        }
        return $request;
    }

    private function send(Request $request): void
    {
        $uri = $request->getUri();
        $socket = @stream_socket_client(
            ($uri->scheme() === 'https' ? 'ssl://' : 'tcp://') . $uri->getHost() . ':' . $uri->port(),
            $code,
            $text,
            max(1, $this->socketTimeout),
            STREAM_CLIENT_CONNECT,
            stream_context_create($this->contextOptions)
        );
        if ($socket === false) {
            throw new NetworkException($request, 'Connection error: ' . $text);
        }
        if ($this->streamTimeout > 0) {
            stream_set_timeout($socket, $this->streamTimeout);
        }
        $this->write($socket, $request);
        $this->read($socket, $request);
    }

    /** @param resource $socket */
    private function write($socket, Request $request): void
    {
        $body = (string)$request->getBody();
        $head = $request->getMethod() . ' ' . $request->getUri()->target() . " HTTP/1.1\r\nHost: " . $request->getUri()->getHost()
            . "\r\nConnection: close\r\nAccept: */*\r\nAccept-Language: en\r\n";
        foreach ($request->headers() + ['Content-Length' => (string)strlen($body)] as $name => $value) {
            $head .= $name . ': ' . $value . "\r\n";
        }
        $left = $head . "\r\n" . $body;
        while ($left !== '') {
            $written = @fwrite($socket, $left);
            if ($written === false || $written === 0) {
                throw new NetworkException($request, 'Stream writing error');
            }
            $left = (string)substr($left, $written);
        }
    }

    /** @param resource $socket */
    private function read($socket, Request $request): void
    {
        $answer = '';
        while (!feof($socket)) {
            $part = fread($socket, 65536);
            if (stream_get_meta_data($socket)['timed_out']) {
                throw new NetworkException($request, 'Stream reading timeout of ' . $this->streamTimeout . ' seconds has been reached.');
            }
            $answer .= $part;
        }
        if (preg_match('#^HTTP/1\.\d (\d{3})#', $answer, $found) !== 1) {
            throw new NetworkException($request, 'Stream reading error: no answer');
        }
        $this->status = (int)$found[1];
        [$head, $body] = explode("\r\n\r\n", $answer, 2) + [1 => ''];
        $this->result = stripos($head, 'Transfer-Encoding: chunked') !== false ? self::unchunk($body) : $body;
    }

    private static function unchunk(string $body): string
    {
        $whole = '';
        while (preg_match('/^([0-9a-fA-F]+)[^\r\n]*\r\n/', $body, $found) === 1 && hexdec($found[1]) > 0) {
            $whole .= substr($body, strlen($found[0]), (int)hexdec($found[1]));
            $body = substr($body, strlen($found[0]) + (int)hexdec($found[1]) + 2);
        }
        return $whole;
    }
}
