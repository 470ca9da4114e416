<?php

// Promises: named connections, and a copy of one under another name.
// Leans on: the test's database settings.
// Must never: hand out a clone under a name that is taken.

declare(strict_types=1);


namespace Bitrix\Main\Data;

use Bitrix\Main\DB\Connection;

class ConnectionPool
{
    /** @var array<string, Connection> */
    private array $connections = [];

    /** @param array<string, array<string, mixed>> $parameters by connection name; "className" inside */
    public function __construct(private array $parameters)
    {
    }

    public function getConnection($name = '')
    {
        $name = $name === '' ? 'default' : (string)$name;
        if (!isset($this->connections[$name])) {
            $class = $this->parameters[$name]['className'];
            $this->connections[$name] = new $class($this->parameters[$name]);
        }
        return $this->connections[$name];
    }

    public function cloneConnection($name, $newName, array $parameters = [])
    {
        if (isset($this->parameters[$newName])) {
            throw new \InvalidArgumentException('a connection of this name exists');
        }
        $this->parameters[$newName] = $parameters + $this->parameters[$name];
        return $this->getConnection($newName);
    }
}
