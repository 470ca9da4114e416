<?php

// Promises: what the module and the stock code read of a request.
// Leans on: the superglobals.
// Must never: return an array where a text was asked for and none was sent.

declare(strict_types=1);


namespace Bitrix\Main;

use Bitrix\Main\Type\ParameterDictionary;

class HttpRequest
{
    public function isPost()
    {
        return ($_SERVER['REQUEST_METHOD'] ?? '') === 'POST';
    }

    public function isHttps()
    {
        return ($_SERVER['HTTPS'] ?? '') === 'on';
    }

    public function getHttpHost()
    {
        return (string)preg_replace('/:(80|443)$/', '', $_SERVER['HTTP_HOST'] ?? '');
    }

    public function get($name)
    {
        return $_POST[$name] ?? $_GET[$name] ?? null;
    }

    public function getPostList()
    {
        return new ParameterDictionary($_POST);
    }

    public function getHeader($name)
    {
        return $_SERVER['HTTP_' . strtoupper(str_replace('-', '_', $name))] ?? null;
    }
}
